# A strategy of a later version is known, and not offered.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:5:24: rollback_strategy: 'canary' is not available in this version; accepted: auto, immediate
--- file plan.yaml
experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
    rollback_strategy: canary
