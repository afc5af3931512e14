
target "app" {
  name = "app-${tgt}"
  matrix = { tgt = ["foo", "bar"] }
  target = tgt
}
