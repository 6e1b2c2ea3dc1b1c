# A key without a value says nothing.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:5:14: duration: needs a value: a number of seconds or a duration such as 250ms, 3s or 2m (1ms..24h)
--- file plan.yaml
experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
    duration:
