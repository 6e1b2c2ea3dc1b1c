# The nearest fault is named.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:4:17: fault_type: no fault is called 'slow_inferense'; did you mean 'slow_inference'? (`chaoseater faults` lists all)
--- file plan.yaml
experiments:
  - name: slow
    layer: model
    fault_type: slow_inferense
