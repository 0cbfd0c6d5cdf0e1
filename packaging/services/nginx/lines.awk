# The last lines that are events of a weight or heavier (weight: debug 1 to emerg 8), or requests (weight 0); count: how many.
BEGIN {
	split("debug info notice warn error crit alert emerg", names, " ")
	for (i in names)
		heavy[names[i]] = i
}

NR <= skip {
	next
}

{
	# 2026/11/22 08:00:00 [error] 7#7: ...
	event = $1 ~ /^[0-9]+\/[0-9]+\/[0-9]+$/ && $3 ~ /^\[[a-z]+\]$/ ? heavy[substr($3, 2, length($3) - 2)] + 0 : 0
	if (weight > 0 ? event >= weight : event == 0 && $0 ~ /^[^"]*\[[^"]*\] "/)
		last[n++ % count] = $0
}

END {
	for (i = n > count ? n - count : 0; i < n; i++)
		print last[i % count]
	print n + 0 " in the part of the log that was read" > "/dev/stderr"
}
