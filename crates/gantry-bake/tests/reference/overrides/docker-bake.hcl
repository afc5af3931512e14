
target "a" {
  tags = ["a"]
  output = ["type=docker"]
  args = { x = "1" }
}
target "b" {
  inherits = ["a"]
  output = ["type=local,dest=out"]
  cache-from = ["x/y"]
}
