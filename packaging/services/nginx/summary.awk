# What is in the lines of requests: statuses, the paths most asked for, the slowest; count: how many of each.  What
# stands behind a path's "?" is left out, for it may be somebody's secret.
#
# ADDRESS - USER [TIME] "METHOD PATH PROTOCOL" STATUS BYTES "REFERER" "AGENT" SECONDS; nginx writes a quote as \x22
function before(of, a, b) {
	return of[a] > of[b] || (of[a] == of[b] && a < b)
}

function top(of, title, unit,    key, i, n, best) {
	n = 0
	for (key in of) {
		if (n == count && !before(of, key, best[n]))
			continue
		for (i = n < count ? ++n : n; i > 1 && before(of, key, best[i - 1]); i--)
			best[i] = best[i - 1]
		best[i] = key
	}
	print title
	for (i = 1; i <= n; i++)
		print "  " of[best[i]] unit "  " best[i]
}

BEGIN {
	FS = "\""
}

NR <= skip || NF < 7 || $1 !~ /\[[^\]]*\] $/ || $3 !~ /^ [0-9]+ [0-9]+ $/ {
	next
}

{
	split($3, numbers, " ")
	n_words = split($2, words, " ")
	path = n_words == 3 ? words[2] : "(no request)"
	sub(/[?#].*/, "", path)
	if (length(path) > 120)
		path = substr(path, 1, 120) "..."
	seconds = $NF + 0
	n++
	bytes += numbers[2]
	if (first == "")
		first = substr($1, index($1, "[") + 1, 26)
	last = substr($1, index($1, "[") + 1, 26)
	statuses[numbers[1]]++
	paths[path]++
	if (numbers[1] >= 400)
		failed[numbers[1] " " path]++
	if (!(path in slowest) || seconds > slowest[path])
		slowest[path] = seconds
}

END {
	if (n == 0) {
		print "no requests in the part of the log that was read (the knob access-log has them logged)"
		exit
	}
	printf "%d requests from %s to %s, %.0f bytes\n", n, first, last, bytes
	top(statuses, "statuses", "")
	top(paths, "paths", "")
	top(failed, "not answered well", "")
	top(slowest, "slowest", " s")
}
