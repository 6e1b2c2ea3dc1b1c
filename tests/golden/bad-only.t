# --only names an experiment.
$ chaoseater validate plan.yaml --only fast
! 2
--- stderr
chaoseater: --only: no experiment is called 'fast'; did you mean 'last'? (there are: slow, last)
--- file plan.yaml
experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
  - {name: last, layer: data, fault_type: missing_data}
