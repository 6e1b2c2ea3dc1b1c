# Nobody nests 64 levels on purpose.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:1:77: nested more than 64 levels deep
--- file plan.yaml
experiments: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
