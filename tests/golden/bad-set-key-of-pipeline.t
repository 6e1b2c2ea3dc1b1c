# A key that only a section has.
$ chaoseater validate plan.yaml --set rate=5
! 2
--- stderr
chaoseater: --set rate=5: no experiment has a key or parameter 'rate'; did you mean 'pipeline.rate'?
--- file plan.yaml
experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
