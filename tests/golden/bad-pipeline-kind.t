# A kind of pipeline that there is none of is refused, with those that there are.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:1:18: kind: 'comand' is not one of embedded, http, command (did you mean 'command'?)
--- file plan.yaml
pipeline: {kind: comand, command: "./train.sh"}
experiments:
  - {name: a, layer: data, fault_type: missing_data}
