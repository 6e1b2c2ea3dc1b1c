# What libyaml cannot read, in its words, with the place.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:3:16: malformed YAML: mapping values are not allowed in this context
--- file plan.yaml
experiments:
  - name: slow
    layer: data: model
