# Names tell runs apart.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:5:11: name: 'slow' is already the name of the experiment at plan.yaml:2:11
--- file plan.yaml
experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
  - name: slow
    layer: model
    fault_type: slow_inference
