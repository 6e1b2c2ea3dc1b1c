$ chaoseater valdiate plan.yaml
! 2
--- stderr
chaoseater: no command is called 'valdiate'; did you mean 'validate'?
