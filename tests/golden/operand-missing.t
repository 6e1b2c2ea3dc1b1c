$ chaoseater validate
! 2
--- stderr
chaoseater: validate needs a FILE: chaoseater validate FILE
