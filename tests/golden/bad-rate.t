# Rates are fractions.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:5:35: corruption_rate: 1.5 is outside 0..1
--- file plan.yaml
experiments:
  - name: rot
    layer: data
    fault_type: data_corruption
    parameters: {corruption_rate: 1.5}
