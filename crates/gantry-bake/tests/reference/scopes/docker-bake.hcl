a = "A"
b = { c = "C${a}" }
function "f" {
  params = [p]
  result = "<${p}${a}>"
}
function "g" {
  params = [p]
  variadic_params = rest
  result = "${p}:${join("+", rest)}"
}
function "h" {
  params = [n]
  result = add(n, 1) * 10
}
function "v" {
  params = []
  result = [for i in range(3): f(i)]
}
variable "k" { default = "K${j}" }
variable "j" { default = "J" }
target "default" {
  args = {
    a00 = a
    a01 = b.c
    a02 = f("x")
    a03 = g("x","y","z")
    a04 = h(2)
    a05 = [for a in ["inner"]: a][0]
    a06 = BAKE_CMD_CONTEXT
    a07 = BAKE_LOCAL_PLATFORM
    a08 = jsonencode(v())
    a09 = k
  }
}
