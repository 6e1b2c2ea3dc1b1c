# --set is checked like the file; its place is the option.
$ chaoseater validate plan.yaml --set duration=soon
! 2
--- stderr
chaoseater: --set duration=soon: duration: 'soon' is not a number of seconds or a duration such as 250ms, 3s or 2m (1ms..24h)
--- file plan.yaml
experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
