"""Detection, scored: how well a number says whether a volume shows a finding.

Shapes: N volumes; C the 18 findings; F those that are scored; M the four METRICS; P patients; R resamples or
permutations. "F1" at the end of a shape is F and one more: the mean over the findings, last.
"""
