# Before anything runs, not after an hour.
$ chaoseater run plan.yaml --report html=report.html
! 2
--- stderr
chaoseater: --report: 'html=report.html' is not FORMAT=PATH with the format text, json, junit, github, markdown, tap, csv, gitlab or chaostoolkit
