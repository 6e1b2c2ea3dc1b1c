$ chaoseater validate one.yaml two.yaml
! 2
--- stderr
chaoseater: validate takes one FILE, and 'two.yaml' is a second one
