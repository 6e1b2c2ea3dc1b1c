# YAML's readers disagree on which of two counts, so neither does.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:6:5: duplicate key 'duration'; it is first given at 5:5
--- file plan.yaml
experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
    duration: 1
    duration: 2
