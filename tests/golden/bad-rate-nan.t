# What is no number is outside nothing: it is no number.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:5:35: corruption_rate: '.nan' is not a number in 0..1
--- file plan.yaml
experiments:
  - name: rot
    layer: data
    fault_type: data_corruption
    parameters: {corruption_rate: .nan}
