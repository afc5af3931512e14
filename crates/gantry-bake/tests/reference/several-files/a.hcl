X="one"
variable "V" { default="v1" }
variable "W" { default = 5 }
target "default" {
  tags=["a:${X}${V}"]
  args = {a = 1, b = W}
 annotations=["x=y"]
}
