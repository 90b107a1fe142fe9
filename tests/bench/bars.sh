# How the benches print a number, alone or beside its bar. To be sourced.
under() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a <= b) }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", (b > 0 ? a / b : 0) }'; }
row() { printf '  %-58s %12s   %-14s %s\n' "$1" "$2" "${3:-}" "${4:-}"; }
bar() { # text measured at-least|at-most limit unit
  local verdict=missed
  case "$3" in
    at-least) if under "$4" "$2"; then verdict=met; fi; row "$1" "$2 $5" ">= $4 $5" "$verdict" ;;
    at-most) if under "$2" "$4"; then verdict=met; fi; row "$1" "$2 $5" "<= $4 $5" "$verdict" ;;
  esac
}
machine() { printf 'machine: %s cores, %s, load %s\n' "$(nproc)" "$(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)" "$(cut -d' ' -f1 /proc/loadavg)"; }
