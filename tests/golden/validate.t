$ chaoseater validate plan.yaml
--- stdout
plan.yaml: 2 experiments, valid
--- file plan.yaml
experiments:
  - name: data_corruption_test
    layer: data
    fault_type: data_corruption
    duration: 60
    parameters: {corruption_rate: 0.1}
  - name: slow_inference_test
    layer: model
    fault_type: slow_inference
    duration: 60
