# A fault belongs to one layer.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:4:17: fault_type: 'slow_inference' belongs to layer model, not data
--- file plan.yaml
experiments:
  - name: slow
    layer: data
    fault_type: slow_inference
