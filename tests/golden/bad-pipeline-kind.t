# A kind of pipeline that comes later is refused by name.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:1:18: kind: 'http' is not available in this version; accepted: embedded
--- file plan.yaml
pipeline: {kind: http, url: "http://127.0.0.1:8000"}
experiments:
  - {name: a, layer: data, fault_type: missing_data}
