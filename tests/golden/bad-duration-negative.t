# Nothing lasts less than nothing.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:5:15: duration: -3 is outside 1ms..24h
--- file plan.yaml
experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
    duration: -3
