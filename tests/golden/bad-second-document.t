# One file, one document.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:5:1: a file holds one document; a second one begins here
--- file plan.yaml
experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
---
experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
