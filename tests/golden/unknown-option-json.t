# Under --json an error is a document, too, and stderr stays empty.
$ chaoseater faults --frobnicate --json
! 2
--- stdout
{
  "error": {
    "message": "faults has no option --frobnicate; `chaoseater faults --help` lists them",
    "where": null,
    "exit_code": 2
  }
}
