# An empty command is a mistake, not a server that runs already.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:1:86: command: is empty; leave it out for a server that runs already
--- file plan.yaml
pipeline: {kind: http, url: "http://127.0.0.1:1", dataset: x.csv, label: y, command: []}
experiments:
  - {name: a, layer: model, fault_type: slow_inference}
