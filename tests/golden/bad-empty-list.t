# A document without experiments tests nothing.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:1:14: experiments: is empty; it needs at least one experiment
--- file plan.yaml
experiments: []
