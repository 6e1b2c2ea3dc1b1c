# The same in a section.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:1:12: unknown key 'profle' of pipeline; did you mean 'profile'? (accepted: kind, profile, rate, timeout, rows, dataset_seed)
--- file plan.yaml
pipeline: {profle: hardened}
experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
