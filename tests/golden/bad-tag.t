# A tag would ask for a type that no document has.
$ chaoseater validate plan.yaml
! 2
--- stderr
chaoseater: plan.yaml:2:11: the tag 'tag:yaml.org,2002:python/object:os.system' is not accepted; a document needs no tags
--- file plan.yaml
experiments:
  - name: !!python/object:os.system slow
