"""The engine of the training path: adaptive explicit Runge-Kutta steps of many lanes, and their discrete adjoint."""
