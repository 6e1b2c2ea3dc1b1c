$ chaoseater validate plan.yaml --set parameters.latency_ms=50
--- stdout
plan.yaml: 1 experiment, valid
--- file plan.yaml
experiments:
  - {name: slow, layer: model, fault_type: slow_inference, duration: 60}
