$ chaoseater doctor now
! 2
--- stderr
chaoseater: doctor takes no argument, and 'now' is one
