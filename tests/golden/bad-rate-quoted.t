# Quotes make text of a number, for every reader of YAML.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:5:35: corruption_rate: "0.1" is text because of its quotes; write it without
--- file plan.yaml
experiments:
  - name: rot
    layer: data
    fault_type: data_corruption
    parameters: {corruption_rate: "0.1"}
