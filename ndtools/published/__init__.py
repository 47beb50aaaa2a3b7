"""What the paper, a summary, a report and a third-party reproduction publish, as data with their sources.

``registry`` has all of it: numbers (`Entry`) and claims in words (`Claim`), each by its ID.

A number is an entry if running something can come out at it: an accuracy, a time, a number of parameters, a speed-up,
an iteration at which something happens. A number that whoever repeats the work has to choose, such as a learning rate,
a number of images or of repeats, is no result. It is a condition of the entries and claims that it belongs to. Where a
document contradicts itself in such a number, the doubt of the claim says so. Where the versions of the paper differ in
a number, each has an entry.
"""
