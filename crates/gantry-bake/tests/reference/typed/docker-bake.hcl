
variable "L" {
  type = list(string)
  default = ["a"]
}
variable "M" { type = map(number) }
variable "S" { type = set(string) }
variable "P" { type = tuple([string, number]) }
variable "O" { type = object({ a = string, b = optional(number) }) }
variable "N" { type = list(number) }
variable "U" { default = null }
variable "E" {}
variable "B" { default = false }
variable "I" { default = 5 }
variable "T" {
  type = number
  default = "12"
  validation {
    condition = T > 1
    error_message = "too small"
  }
}
target "default" {
  args = { L = jsonencode(L), M = jsonencode(M), S = jsonencode(S), P = jsonencode(P), O = jsonencode(O), N = jsonencode(N), U = jsonencode(U), E = jsonencode(E), B = jsonencode(B), I = jsonencode(I), T = jsonencode(T) }
}
