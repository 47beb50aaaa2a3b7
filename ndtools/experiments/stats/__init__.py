"""Mean, standard deviation and covariance of the channels of a set of images."""
