# Known before the demo, not after it.
$ chaoseater demo --out plan.yaml
! 2
--- stderr
chaoseater: cannot write to the folder 'plan.yaml': Not a directory
--- file plan.yaml
experiments: []
