# A kind of pipeline that comes later is refused by name.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:1:18: kind: 'command' is not available in this version; accepted: embedded, http
--- file plan.yaml
pipeline: {kind: command, command: "./train.sh"}
experiments:
  - {name: a, layer: data, fault_type: missing_data}
