# Nor does one that has forgotten them.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:1:1: the key 'experiments' is missing: a list of experiments
--- file plan.yaml
seed: 1
