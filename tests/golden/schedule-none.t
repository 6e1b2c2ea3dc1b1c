# Whoever is never due would never run.
$ chaoseater schedule plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:2:5: experiment 'rot' has no schedule, and the document has none either
--- file plan.yaml
experiments:
  - name: rot
    layer: data
    fault_type: data_corruption
