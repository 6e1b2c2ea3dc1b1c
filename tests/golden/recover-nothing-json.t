$ chaoseater recover --json
--- stdout
{
  "undone": 0,
  "failed": 0,
  "foreign": 0,
  "live": []
}
