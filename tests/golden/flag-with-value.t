$ chaoseater faults --json=yes
! 2
--- stderr
chaoseater: --json takes no value
