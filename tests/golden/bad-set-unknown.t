# A key that nothing has.
$ chaoseater validate plan.yaml --set latencyms=3
! 2
--- stderr
chaoseater: --set latencyms=3: no experiment has a key or parameter 'latencyms'; did you mean 'latency_ms'?
--- file plan.yaml
experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
