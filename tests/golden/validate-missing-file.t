$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: cannot open 'plan.yaml': No such file or directory
