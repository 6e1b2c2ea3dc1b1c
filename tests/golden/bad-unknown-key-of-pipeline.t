# The same in a section.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:1:12: unknown key 'profle' of pipeline; did you mean 'profile'? (accepted: kind, rate, timeout, profile, rows, dataset_seed, inference_time, url, ca, protocol, model, version, dataset, label, task, threshold, labels, tolerance, request, prediction, health, command, workdir, env, start_timeout, isolation, network, ...)
--- file plan.yaml
pipeline: {profle: hardened}
experiments:
  - name: slow
    layer: model
    fault_type: slow_inference
