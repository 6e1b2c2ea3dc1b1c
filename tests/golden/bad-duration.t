# Units are named.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:5:15: duration: '3x' is not a number of seconds or a duration such as 250ms, 3s or 2m (1ms..24h)
--- file plan.yaml
experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
    duration: 3x
